#!/bin/sh
# Writes the completions of the command for each shell to dist-completions, for the archives
# of a release.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p dist-completions
export GOWORK=off
for shell in bash zsh fish powershell; do
	go -C cmd/redlock run . completion "$shell" >"dist-completions/redlock.$shell"
done
