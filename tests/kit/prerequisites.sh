#!/usr/bin/env bash
# Gets what the wallet in tests/kit/client needs and is not here yet: Node and the packages. Says nothing when nothing is
# missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
exec tests/stack/node.sh tests/kit/client "80 MB"
