#!/usr/bin/env bash
# A build farm of three nodes on this machine: founds a mesh, joins it, builds all sample packages, and installs one with
# pacman from a node that does not lead. Leaves nothing behind, unless told to.
#
#   examples/lan-farm.sh [--workers N] [--release] [--keep]
#
#   --workers N   how many of the three nodes build (1..3, default 3); the others only keep what was built
#   --release     build pacmesh optimised; PACMESH_BIN=FILE takes a binary that is there already
#   --keep        leave the farm running, and say how to use and how to end it
#
# Needs a Debian 12 or Arch machine; what is missing is installed (as root, or with sudo, once). The farm itself needs no root.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
. "$ROOT/examples/tools.sh"

NAMES=(desktop laptop nas)
REPO=farm
WORKERS=3 PROFILE=dev KEEP=
FARM='' BIN=''
declare -A PID=()

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }

options() {
  while [ $# -gt 0 ]; do
    case $1 in
      --workers) WORKERS=${2:-}; shift ;;
      --release) PROFILE=release ;;
      --keep) KEEP=yes ;;
      -h|--help) usage; exit 0 ;;
      *) usage >&2; exit 2 ;;
    esac
    shift
  done
  case $WORKERS in 1|2|3) ;; *) say "--workers takes 1, 2 or 3"; exit 2 ;; esac
}

# --- small things ------------------------------------------------------------------------------------------------------

now() { date +%s%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f s", (b - a) / 1e9 }'; }
step() { printf '\n== %s\n' "$*"; }
mesh() { local node=$1; shift; "$BIN" --home "$FARM/$node" "$@"; }

# wait_for WHAT SECONDS COMMAND... : until the command succeeds
wait_for() {
  local what=$1 end=$(( $(date +%s) + $2 )); shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt "$end" ] || { show_logs; die "waited in vain for $what"; }
    sleep 0.05
  done
}

show_logs() {
  local node
  for node in "${NAMES[@]}"; do
    [ -s "$FARM/$node.log" ] && { say "--- the last lines of $node"; tail -n 15 "$FARM/$node.log" >&2; }
  done
  return 0
}

# --- the end -----------------------------------------------------------------------------------------------------------

# Everything of this farm has its folder in its command line: nodes, runners of builds, sandboxes, gpg-agents.
farm_processes() { grep -lsaF -f - /proc/[0-9]*/cmdline <<<"$FARM/" | cut -d/ -f3 || true; }

nothing_left() { [ -z "$(farm_processes)" ]; }

end_farm() {
  local signal left end
  for signal in TERM KILL; do
    left=$(farm_processes)
    [ -n "$left" ] || break
    # shellcheck disable=SC2086
    kill -s $signal $left 2>/dev/null || true
    end=$(( $(date +%s) + 10 ))
    until nothing_left || [ "$(date +%s)" -ge "$end" ]; do sleep 0.05; done
  done
  nothing_left || say "still running: $(farm_processes)"
  rm -rf "$FARM"
}

finish() {
  local code=$?
  trap - EXIT INT TERM HUP
  if [ -n "$FARM" ] && { [ -z "$KEEP" ] || [ $code -ne 0 ]; }; then
    end_farm
  fi
  exit $code
}

# --- the farm ----------------------------------------------------------------------------------------------------------

build_pacmesh() {
  BIN=${PACMESH_BIN:-}
  [ -z "$BIN" ] || return 0
  install_rust
  local folder=debug
  [ $PROFILE = dev ] || folder=release
  (cd "$ROOT" && cargo build --locked --quiet --profile $PROFILE --package pacmesh)
  BIN=$(cd "$ROOT" && cargo metadata --no-deps --format-version 1 | jq -r .target_directory)/$folder/pacmesh
}

start_node() {
  local node=$1
  mkdir "$FARM/$node"
  # A port 0 takes a free one, so that a second farm, or a real node on this machine, is not in the way.
  "$BIN" --home "$FARM/$node" daemon --name "$node" --no-mdns --listen 127.0.0.1:0 \
    --http-api 127.0.0.1:0 --http-repo 127.0.0.1:0 >"$FARM/$node.log" 2>&1 </dev/null &
  PID[$node]=$!
}

preset() { if [ "$1" -le "$WORKERS" ]; then echo peer; else echo storage; fi; }

all_alive() {
  local node
  for node in "${NAMES[@]}"; do
    mesh "$node" nodes --json | jq -e '[.[] | select(.state == "alive")] | length == 3' || return 1
  done
}

found_and_join() {
  local place=1 node started
  started=$(now)
  for node in "${NAMES[@]}"; do start_node "$node"; done
  for node in "${NAMES[@]}"; do wait_for "$node to start" 20 mesh "$node" status; done
  mesh desktop init --name lan --repo $REPO >"$FARM/founding"
  echo "desktop founded the mesh 'lan' with the repository '$REPO'"
  for node in laptop nas; do
    place=$((place + 1))
    mesh desktop invite --as "$(preset $place)" | tail -n 1 | mesh "$node" join -
  done
  wait_for "three nodes that see each other alive" 30 all_alive
  ALIVE=$(since "$started")
  echo "three nodes see each other alive $ALIVE after their start, with founding and joining"
  mesh laptop nodes
}

memory() { awk '/^VmRSS/ { printf "%.0f MiB", $2 / 1024 }' "/proc/${PID[$1]}/status"; }

build_samples() {
  local started
  started=$(now)
  # From any node that may submit; one that only keeps may not.
  local node=nas
  [ "$WORKERS" -eq 3 ] || node=desktop
  mesh "$node" build "$ROOT"/examples/packages/*/
  BUILT=$(since "$started")
  echo "all samples published $BUILT after 'pacmesh build'"
}

show_packages() {
  jq -r --argjson nodes "$(mesh laptop nodes --json)" '
    ($nodes | map({(.id): .name}) | add) as $name
    | .[] | [.name, .version, .arch, $name[.worker], .signer[-16:]] | @tsv' <(mesh laptop packages --json) \
    | sort | awk -F '\t' 'BEGIN { f = "%-14s %-16s %-8s %-10s %s\n"; printf f, "PACKAGE", "VERSION", "ARCH", "BUILT BY", "SIGNED WITH" }
        { printf f, $1, $2, $3, $4, $5 }'
}

# --- a client ----------------------------------------------------------------------------------------------------------

# pacman wants to be root; for a scratch root, root of a user namespace is enough.
rooted() { if [ "$(id -u)" -eq 0 ]; then "$@"; else unshare --map-root-user "$@"; fi; }

standby() {
  local node
  for node in "${NAMES[@]}"; do
    if [ "$(mesh "$node" status --json | jq -r .role)" != master ]; then echo "$node"; return; fi
  done
  die "every node says that it leads"
}

prepare_client() {
  local node=$1 client=$FARM/client
  mkdir -p "$client"/root/var/lib/pacman "$client"/cache
  mkdir -m 700 "$client/gpg"
  {
    printf '[options]\nArchitecture = auto\nSigLevel = Required DatabaseOptional\n\n'
    # A node names itself first, and others for when it is off; here nothing may come from those.
    mesh "$node" setup-pacman --print | sed -n '/^\[/,$p' | awk '!/^Server/ || !seen++'
  } >"$client/pacman.conf"
  rooted pacman-key --gpgdir "$client/gpg" --config "$client/pacman.conf" --init
  mesh "$node" keys export >"$client/keys.asc"
  rooted pacman-key --gpgdir "$client/gpg" --config "$client/pacman.conf" --add "$client/keys.asc"
  mesh "$node" keys list --json | jq -r '.[] | select(.trusted) | .fingerprint' | while read -r fingerprint; do
    rooted pacman-key --gpgdir "$client/gpg" --config "$client/pacman.conf" --lsign-key "$fingerprint"
  done
}

client_pacman() {
  local client=$FARM/client
  rooted pacman --noconfirm --noprogressbar --root "$client/root" --dbpath "$client/root/var/lib/pacman" \
    --cachedir "$client/cache" --gpgdir "$client/gpg" --config "$client/pacman.conf" --hookdir "$client/hooks" \
    --logfile "$client/pacman.log" "$@"
}

# The scratch root holds only what the farm built; shell and C library are this machine's.
in_client() {
  local usr=$FARM/client/root/usr
  bwrap --unshare-all --die-with-parent --ro-bind /usr/bin /usr/bin --ro-bind /usr/lib /usr/lib \
    --ro-bind-try /usr/lib64 /usr/lib64 --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
    --ro-bind "$usr/share" /usr/share --ro-bind "$usr" /client/usr --proc /proc --dev /dev \
    --setenv LD_LIBRARY_PATH /client/usr/lib "/client/usr/bin/$1" "${@:2}"
}

install_and_run() {
  local node
  node=$(standby)
  echo "from $node, which does not lead:"
  prepare_client "$node" >"$FARM/client.log" 2>&1 || { cat "$FARM/client.log" >&2; die "the keys could not be imported"; }
  grep '^Server' "$FARM/client/pacman.conf"
  client_pacman --sync --refresh --assume-installed bash=5 --assume-installed glibc=2 greet-party
  echo '$ greet-party'
  in_client greet-party
  echo '$ greet everybody'
  in_client greet everybody
}

how_to_use() {
  step "The farm goes on"
  cat <<HELP
  $BIN --home $FARM/desktop status          (or laptop, nas)
  $BIN --home $FARM/laptop build ./your-package
  $BIN --home $FARM/nas logs greet
  $BIN --home $FARM/laptop setup-pacman --print

To end it:
  kill ${PID[*]}; rm -rf $FARM
HELP
}

main() {
  options "$@"
  # Names of libraries and tools have no spaces.
  # shellcheck disable=SC2086
  install_tools $BUILD_TOOLS $NODE_TOOLS
  step "Building pacmesh ($PROFILE)"
  build_pacmesh
  "$BIN" --version
  trap finish EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  FARM=$(mktemp -d "${TMPDIR:-/tmp}/pacmesh-farm.XXXXXX")
  # Builds of a farm that is started by root run as other users.
  chmod 755 "$FARM"

  step "Three nodes"
  found_and_join
  local idle=() node
  for node in "${NAMES[@]}"; do idle+=("$node $(memory "$node")"); done
  step "Building all samples with $WORKERS worker(s)"
  build_samples
  step "Who built what"
  show_packages
  step "Installing greet-party"
  install_and_run
  step "Measured"
  echo "start to three alive       $ALIVE"
  echo "build to last published    $BUILT"
  printf 'memory of an idle node     %s\n' "${idle[@]}"
  [ -z "$KEEP" ] || how_to_use
}

main "$@"
