#!/usr/bin/env bash
# Build the wheel, install it in a clean environment outside the tree, and run it there.
set -euo pipefail
python="$1"
tree="$PWD"
clean="$(mktemp -d)"
trap 'rm -rf "$clean"' EXIT
"$python" -m build --wheel --outdir "$tree/dist" "$tree"
"$python" -m venv "$clean/venv"
wheel="$(ls -t "$tree"/dist/rhnas-*.whl | head -n 1)"
# shellcheck disable=SC2086
"$clean/venv/bin/python" -m pip install --quiet ${PIP_OPTIONS:-} -c "$tree/constraints.txt" "$wheel"
cd "$clean"
"$clean/venv/bin/rhnas" cost --network resnet18 --accelerator default --json > cost.json
"$clean/venv/bin/python" -c 'import json; cost = json.load(open("cost.json")); print("resnet18 on the default:", cost["cycles"], "cycles"); assert cost["cycles"] > cost["bound_cycles"]'
"$clean/venv/bin/rhnas" new digits "$clean/digits.toml"
echo "the wheel installs and runs outside the tree: $wheel"
