// Package oippb is the messages and the service of the Open Inference Protocol over
// gRPC, generated from inference.proto.
//
// A program can hold one copy of the protobuf package "inference" only, so this one is
// for servers; clients in Go that use gRPC bring their own.
//
// To generate it anew, with protoc 3.21 of Debian's protobuf-compiler on the path:
//
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
//	go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
//	go generate ./internal/oip/oippb
package oippb

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative inference.proto
