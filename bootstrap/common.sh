# Sourced by bootstrap/demo and bootstrap/test: what both need before they build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }
die() { say "$1"; exit "${2:-69}"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else die "Missing packages must be installed as root: run this script as root, or install sudo, or run: apt-get install ${needed[*]}" 77
    fi
}

install_packages() {
    local package
    needed=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || needed+=("$package")
    done
    [ ${#needed[@]} = 0 ] && return 0
    command -v apt-get >/dev/null 2>&1 || die "apt-get was not found; install these packages with your system's own tool: ${needed[*]}" 69
    say "Installing: ${needed[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${needed[@]}" >/dev/null
}

command -v swift >/dev/null 2>&1 || die "Swift was not found. Install Swift 6.3 from https://www.swift.org/install/linux/debian/12/ and put it on PATH." 69
install_packages libsodium-dev liblmdb-dev libqrencode-dev pkg-config
