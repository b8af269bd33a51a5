#!/bin/sh
# Builds ./tour, with Debian's packages of Go's libraries where they are installed, else with Go's modules.
#
# GOCODE names another folder of Debian's packages than /usr/share/gocode.
set -eu
cd "$(dirname "$0")"
./generate.sh

packages=${GOCODE:-/usr/share/gocode}
if [ -d "$packages/src/google.golang.org/grpc" ]; then
    # Debian's packages have no modules: this folder has to lie in GOPATH, under its import path.
    path=$(mktemp -d)
    trap 'rm -rf "$path"' EXIT
    mkdir -p "$path/src/graftscope.example"
    ln -s "$PWD" "$path/src/graftscope.example/tour"
    cd "$path/src/graftscope.example/tour"
    GO111MODULE=off GOPATH="$path:$packages" go build -o tour .
else
    go mod tidy
    go build -o tour .
fi
