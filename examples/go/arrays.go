package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	pb "graftscope.example/tour/graftscopev1"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Float64s reads an array of a reply whose elements are FP64: in C order, the last axis runs fastest.
//
// A reply holds a small array itself, and names a large one by the sha256 of its bytes.
func (s *Server) Float64s(ctx context.Context, array *pb.Array) ([]float64, error) {
	var data []byte
	var datatype string
	switch source := array.GetSource().(type) {
	case *pb.Array_Tensor:
		data, datatype = source.Tensor.GetData(), source.Tensor.GetDatatype()
	case *pb.Array_Artifact:
		var err error
		if data, err = s.read(ctx, source.Artifact.GetSha256()); err != nil {
			return nil, err
		}
		datatype = source.Artifact.GetDatatype()
	}
	if datatype != "FP64" {
		return nil, fmt.Errorf("the array is of %q, and FP64 was expected", datatype)
	}
	elements := make([]float64, len(data)/8)
	return elements, binary.Read(bytes.NewReader(data), binary.LittleEndian, elements)
}

// Files gives the files of a BYTES tensor, such as PNG: each follows its length in four bytes.
func Files(tensor *pb.Tensor) [][]byte {
	var files [][]byte
	for data := tensor.GetData(); len(data) > 0; {
		end := 4 + binary.LittleEndian.Uint32(data)
		files = append(files, data[4:end])
		data = data[end:]
	}
	return files
}

// read reads an artifact's bytes. A stream that breaks could go on from Offset, where it broke.
func (s *Server) read(ctx context.Context, name string) ([]byte, error) {
	stream, err := s.Artifacts.ReadArtifact(ctx, &pb.ReadArtifactRequest{Sha256: name})
	if err != nil {
		return nil, err
	}
	var data []byte
	for {
		reply, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		chunk := reply.GetChunk()
		if crc32.Checksum(chunk.GetData(), castagnoli) != chunk.GetCrc32C() {
			return nil, fmt.Errorf("a chunk of artifact %s was damaged on its way", name)
		}
		data = append(data, chunk.GetData()...)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != name {
		return nil, fmt.Errorf("artifact %s is not what its name says", name)
	}
	return data, nil
}
