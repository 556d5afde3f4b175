#!/usr/bin/env bash
# Gets what the queues in tests/bench/peers need and is not here yet: Node and the packages. Says nothing when nothing is
# missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
exec tests/stack/node.sh tests/bench/peers "35 MB"
