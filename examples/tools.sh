# Installs what building pacmesh and running its nodes needs, on Debian, its relatives, and Arch. Sourced, not run:
# `install_tools` says what is missing before it asks for root, and asks once. Nothing is installed where nothing is missing.

# program:Debian package:Arch package
BUILD_TOOLS="gcc:gcc:gcc make:make:make git:git:git curl:curl:curl cc:libc6-dev:gcc"
NODE_TOOLS="makepkg:makepkg:pacman pacman:pacman-package-manager:pacman pacman-key:pacman-package-manager:pacman
  bwrap:bubblewrap:bubblewrap fakeroot:fakeroot:fakeroot bsdtar:libarchive-tools:libarchive zstd:zstd:zstd
  gpg:gnupg:gnupg file:file:file strip:binutils:binutils patch:patch:patch unshare:util-linux:util-linux
  setpriv:util-linux:util-linux mount:mount:util-linux jq:jq:jq"
TEST_TOOLS="ip:iproute2:iproute2 nft:nftables:nftables ping:iputils-ping:iputils"

say() { printf '%s\n' "$*" >&2; }
die() { say "$0: $*"; exit 1; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "needs root to install packages: run it once as root, or install: $*"
  fi
}

# missing_packages TOOLS... : the packages of this system that bring the programs which are not there
missing_packages() {
  local column=2 row
  [ -e /etc/arch-release ] && column=3
  for row in "$@"; do
    command -v "${row%%:*}" >/dev/null || printf '%s\n' "$row" | cut -d: -f$column
  done | sort -u
}

install_packages() {
  if [ -e /etc/arch-release ]; then
    as_root pacman -Sy --needed --noconfirm "$@"
  elif command -v apt-get >/dev/null; then
    as_root sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"' sh "$@"
  else
    die "this is neither Debian nor Arch: install $* by hand"
  fi
}

# install_rust: the toolchain that rust-toolchain.toml names comes by itself once rustup is there
install_rust() {
  PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
  if ! command -v cargo >/dev/null; then
    say "missing: the Rust toolchain; installing it with rustup into ${CARGO_HOME:-$HOME/.cargo}"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y -q --profile minimal --no-modify-path \
      || die "rustup failed: install Rust from https://rustup.rs and run this again"
  fi
  cargo --version >/dev/null || die "cargo does not run: install Rust from https://rustup.rs and run this again"
}

# install_tools TOOLS... : e.g. install_tools $BUILD_TOOLS $NODE_TOOLS
install_tools() {
  # Tools of system administrators are in folders that ordinary users on Debian do not search.
  PATH="$PATH:/usr/sbin:/sbin"
  local packages
  packages=$(missing_packages "$@")
  if [ -n "$packages" ]; then
    say "missing, will be installed:" $packages
    # Package names have no spaces.
    # shellcheck disable=SC2086
    install_packages $packages
  fi
  for row in "$@"; do
    command -v "${row%%:*}" >/dev/null || die "${row%%:*} is still missing: install it and run this again"
  done
}
