#!/usr/bin/env bash
# Generates graftscope.v1 and graftscope.inference.v2 beside their .proto files.
#
#   generate.sh         write the code, the types and the descriptor set
#   generate.sh check   fail if what is committed differs from a fresh generation
#
# Code made by a newer protoc refuses older runtimes, so an older one is pinned here, in an
# environment of its own; the floors of grpcio and protobuf in pyproject.toml follow from it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=$here/../.venv-proto
python=$venv/bin/python
packages="graftscope/v1 graftscope/inference/v2"

if [ ! -x "$venv/bin/protoc-gen-mypy" ]; then
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        grpcio-tools==1.76.0 mypy-protobuf==5.1.0 googleapis-common-protos==1.76.0
fi

# The wheel of googleapis-common-protos holds the imported .proto files, one of them renamed.
site=$("$python" -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")
imports=$venv/imports
rm -rf "$imports" && mkdir -p "$imports/google/longrunning"
cp -r "$site/google/api" "$site/google/rpc" "$imports/google/"
cp "$site/google/longrunning/operations_proto.proto" "$imports/google/longrunning/operations.proto"

generate() { # into folder $1
    mkdir -p "$1/code" "$1/typings"
    (cd "$here" && PATH="$venv/bin:$PATH" "$python" -m grpc_tools.protoc \
        -I "$here" -I "$imports" \
        --python_out="$1/code" --grpc_python_out="$1/code" \
        --mypy_out="$1/code" --mypy_grpc_out="$1/code" \
        --include_imports --include_source_info --descriptor_set_out="$1/image.binpb" \
        $(printf '%s/*.proto ' $packages) 2>&1 | { grep -v '^Writing mypy' || true; })
    # grpc's generator imports siblings absolutely; Operations itself ships without types.
    (cd "$here" && PATH="$venv/bin:$PATH" "$python" -m grpc_tools.protoc \
        -I "$imports" --mypy_out="$1/typings" --mypy_grpc_out="$1/typings" \
        google/longrunning/operations.proto 2>&1 | { grep -v '^Writing mypy' || true; })
    # Files without a service get an empty module; leave those out.
    for package in $packages; do
        for file in "$1/code/$package"/*_pb2_grpc.py; do
            grep -q '^class .*Stub' "$file" || rm "$file" "${file}i"
        done
    done
}

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
generate "$fresh"
case "${1:-write}" in
write)
    for package in $packages; do
        rm -f "$here/$package"/*_pb2*.py*
        cp "$fresh/code/$package"/*_pb2* "$here/$package/"
    done
    rm -rf "$here/../typings/google" && mkdir -p "$here/../typings"
    cp -r "$fresh/typings/google" "$here/../typings/"
    cp "$fresh/image.binpb" "$venv/image.binpb"
    ;;
check)
    cp "$fresh/image.binpb" "$venv/image.binpb"
    for package in $packages; do
        for file in "$fresh/code/$package"/*_pb2*; do
            cmp "$file" "$here/$package/$(basename "$file")" || {
                echo "the generated code of $package is stale: run 'make proto'" >&2
                exit 1
            }
        done
        for file in "$here/$package"/*_pb2*; do
            [ -e "$fresh/code/$package/$(basename "$file")" ] || {
                echo "$file has no .proto file any more: run 'make proto'" >&2
                exit 1
            }
        done
    done
    diff -r "$fresh/typings/google" "$here/../typings/google" >/dev/null || {
        echo "typings/ is stale: run 'make proto'" >&2
        exit 1
    }
    ;;
*)
    echo "generate.sh: '$1' is not 'write' or 'check'" >&2
    exit 2
    ;;
esac
