#!/usr/bin/env bash
# A release for machines like this one: the stripped program, its manual page, completions and licences in one archive, with checksums.
#
#     tools/release.sh [FOLDER]            into FOLDER (dist)
#     CUDA=1 tools/release.sh [FOLDER]     with CUDA: needs the toolkit here, the driver and its libraries where it runs on a GPU
#
# Tried on Linux (x86-64). On macOS and Windows the program has not been compiled.
set -euo pipefail
into=$(realpath -m "${1:-dist}")
cd "$(dirname "$0")/.."
features=(); kind=cpu
[ "${CUDA:-}" = 1 ] && features=(--features cuda) && kind=cuda
target=${CARGO_TARGET_DIR:-target}

cargo build --release --locked "${features[@]}"
version=$("$target/release/workbench" --version | cut -d' ' -f2)
name="workbench-$version-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)-$kind"
mkdir -p "$into"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/$name/completions"
strip -o "$folder/$name/workbench" "$target/release/workbench"
cp README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$folder/$name/"
mkdir "$folder/$name/man"
"$folder/$name/workbench" man "$folder/$name/man"
for shell in bash zsh fish; do "$folder/$name/workbench" completions $shell > "$folder/$name/completions/workbench.$shell"; done
# It does its work from an empty folder before it goes out.
(mkdir "$folder/empty" && cd "$folder/empty" && echo 'load_model("digits")' | "$folder/$name/workbench" > /dev/null)
tar -C "$folder" -czf "$into/$name.tar.gz" "$name"
(cd "$into" && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")
ls -l "$into/$name.tar.gz" "$into/$name.tar.gz.sha256"
