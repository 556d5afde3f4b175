#!/usr/bin/env bash
# Installs from the distribution (Debian, Ubuntu) what Quittance's local stack needs and is not here yet. Says nothing when
# nothing is missing. It starts no service and leaves the databases that the system itself may run alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly POSTGRES_OLDEST=15
readonly REDIS_OLDEST=7

refuse() {
    printf 'error: %s\n' "$1" >&2
    if (($# > 1)); then printf '%s\n' "${@:2}" >&2; fi
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# Prints the newest PostgreSQL server's major version; 0 when there is none.
postgres_major() {
    local newest=0 initdb major
    for initdb in /usr/lib/postgresql/*/bin/initdb "$(command -v initdb || true)"; do
        [[ -x $initdb ]] || continue
        # "initdb (PostgreSQL) 15.13 (Debian ...)"
        major=$("$initdb" --version | sed -nE 's/.*\(PostgreSQL\) ([0-9]+).*/\1/p')
        if ((${major:-0} > newest)); then newest=$major; fi
    done
    echo "$newest"
}

check_rust() {
    local wanted found
    if ! has cargo; then
        if [[ -x ${HOME:-/root}/.cargo/bin/cargo ]]; then
            refuse "cargo is installed but not on PATH; run: . \"\$HOME/.cargo/env\""
        fi
        refuse "Rust is missing; install it (https://rustup.rs) and open a new shell:" \
            "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . \"\$HOME/.cargo/env\""
    fi
    wanted=$(sed -nE 's/^rust-version = "([0-9.]+)"/\1/p' Cargo.toml)
    found=$(cargo --version | sed -nE 's/^cargo ([0-9]+\.[0-9]+).*/\1/p')
    if [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) != "$wanted" ]]; then
        refuse "Rust $found is too old, $wanted or newer is needed; run: rustup update stable"
    fi
}

# The system's bare perl comes without the modules that building OpenSSL asks for.
has_whole_perl() { perl -MFindBin -MIPC::Cmd -MFile::Compare -e 1 >/dev/null 2>&1; }

# Each line: package, and why it is needed.
missing() {
    has cc || echo "build-essential: a C compiler and linker, for building"
    has_whole_perl || echo "perl: builds the OpenSSL inside the local chain"
    has make || echo "make: runs the recipes of the Makefile"
    has setpriv || echo "util-linux: setpriv, which ties the servers' life to ours"
    (($(postgres_major) >= POSTGRES_OLDEST)) || echo "postgresql: the database server, $POSTGRES_OLDEST or newer"
    has redis-server || echo "redis-server: the queue and the live events"
}

as_root() {
    if ((EUID == 0)); then env "$@"; else sudo env "$@"; fi
}

install() {
    local packages=() line candidate
    while read -r line; do packages+=("${line%%:*}"); done <<<"$1"
    has apt-get || refuse "missing here:" "$1" \
        "This system has no apt-get: install these by its own means (PostgreSQL $POSTGRES_OLDEST+, Redis $REDIS_OLDEST+)"
    if ((EUID != 0)) && ! has sudo; then
        refuse "missing here:" "$1" "As root: apt-get update && apt-get install ${packages[*]}"
    fi
    printf 'Installing from the distribution:\n%s\n' "$1"
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 update || refuse "apt-get update failed (see above)"
    if [[ " ${packages[*]} " == *" postgresql "* ]]; then
        # Such as 15+248 or 17+278.
        candidate=$(apt-cache policy postgresql | sed -nE 's/^ *Candidate: ([0-9]+).*/\1/p')
        if ((${candidate:-0} < POSTGRES_OLDEST)); then
            refuse "this distribution offers PostgreSQL ${candidate:-not at all}, but $POSTGRES_OLDEST or newer is needed;" \
                "  see https://www.postgresql.org/download/linux/ for newer packages, then run this again"
        fi
    fi
    as_root DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends "${packages[@]}" || refuse "apt-get install failed (see above)"
}

check_redis() {
    local major
    major=$(redis-server --version | sed -nE 's/.* v=([0-9]+).*/\1/p')
    ((${major:-0} >= REDIS_OLDEST)) || refuse "Redis ${major:-?} is too old, $REDIS_OLDEST or newer is needed;" \
        "  see https://redis.io/docs/latest/operate/oss_and_stack/install/ for newer packages"
}

check_rust
wanted=$(missing)
if [[ -n $wanted ]]; then
    install "$wanted"
    still=$(missing)
    [[ -z $still ]] || refuse "still missing after the installation:" "$still"
fi
check_redis
