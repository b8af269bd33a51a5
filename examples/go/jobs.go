package main

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/longrunning"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "graftscope.example/tour/graftscopev1"
)

const tries = 5

// Watch follows a job to its end, and gives the operation as it ended.
//
// A job is computed while others call, and outlives a connection: where one breaks or a server ends,
// a new watch begins with the whole state. Behind a balancer it may be another server that answers.
func (s *Server) Watch(
	ctx context.Context, name string, onProgress func(*pb.Progress) error,
) (*longrunning.Operation, error) {
	for try := 1; ; try++ {
		ended, err := s.watchOnce(ctx, name, onProgress)
		if status.Code(err) != codes.Unavailable || try == tries {
			return ended, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Server) watchOnce(
	ctx context.Context, name string, onProgress func(*pb.Progress) error,
) (*longrunning.Operation, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := s.Analyses.WatchOperation(ctx, &pb.WatchOperationRequest{Name: name})
	if err != nil {
		return nil, err
	}
	for {
		reply, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if progress := reply.GetProgress(); progress != nil {
			if err := onProgress(progress); err != nil {
				return nil, err
			}
		}
		if operation := reply.GetOperation(); operation.GetDone() {
			return operation, nil
		}
	}
}

// Result takes what a job came to into a message, or gives an error where it failed or was cancelled.
func Result(ended *longrunning.Operation, result proto.Message) error {
	if failure := ended.GetError(); failure != nil {
		return status.ErrorProto(failure)
	}
	return ended.GetResponse().UnmarshalTo(result)
}
