package main

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/longrunning"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	pb "graftscope.example/tour/graftscopev1"
)

// Server is a channel to a server, with the services that are called through it.
type Server struct {
	connection *grpc.ClientConn

	Models     pb.ModelServiceClient
	Analyses   pb.AnalysisServiceClient
	Artifacts  pb.ArtifactServiceClient
	Operations longrunning.OperationsClient
}

// Connect opens a channel to HOST:PORT; nothing is sent before the first call.
//
// authority names the file, in PEM, with the certificate of who signed the server's, and turns on
// TLS. token says who you are, where the server asks, and is sent through TLS only. Both may be
// empty.
func Connect(address, authority, token string) (*Server, error) {
	transport := insecure.NewCredentials()
	if authority != "" {
		var err error
		if transport, err = credentials.NewClientTLSFromFile(authority, ""); err != nil {
			return nil, err
		}
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if token != "" {
		if authority == "" {
			return nil, errors.New("a token is not sent in the clear: name the authority with -ca")
		}
		options = append(options, grpc.WithPerRPCCredentials(bearer(token)))
	}
	connection, err := grpc.NewClient(address, options...)
	if err != nil {
		return nil, err
	}
	return &Server{
		connection: connection,
		Models:     pb.NewModelServiceClient(connection),
		Analyses:   pb.NewAnalysisServiceClient(connection),
		Artifacts:  pb.NewArtifactServiceClient(connection),
		Operations: longrunning.NewOperationsClient(connection),
	}, nil
}

// Close ends what Connect opened.
func (s *Server) Close() error { return s.connection.Close() }

// bearer is a token that goes with every call.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }
