#!/bin/sh
# Generates the package graftscopev1 from the contract; needs protoc, protoc-gen-go, protoc-gen-go-grpc.
#
# The contract's descriptors hold all that its files import, so that no other .proto files are needed.
set -eu
cd "$(dirname "$0")"
contract=../../proto/settled.binpb
package=graftscope.example/tour/graftscopev1

options=
for file in ../../proto/graftscope/v1/*.proto; do
    options="$options,Mgraftscope/v1/$(basename "$file")=$package"
done
options="module=graftscope.example/tour,Mgoogle/longrunning/operations.proto=google.golang.org/genproto/googleapis/longrunning$options"

files=$(cd ../../proto && echo graftscope/v1/*.proto)
# shellcheck disable=SC2086  # one argument a file
protoc --descriptor_set_in="$contract" \
    --go_out=. --go_opt="$options" --go-grpc_out=. --go-grpc_opt="$options" $files
