#!/usr/bin/env bash
# What must hold, in one command: formatting, lints, unit, property, doc and whole-system tests, the simulated
# mesh, and the example farm. Installs what is missing on a fresh Debian 12 or Arch machine. Exits 0 only if all of it passed.
#
#   tests/run.sh [--ci] [--long] [--fast]
#
#   --ci     also what takes longer: cuts that heal, relays, planned stops, repair, backups, a minute at full load
#   --long   all of that and more of it: ten thousand simulated worlds, ten minutes at full load, and the scenarios of survival
#            (lids, weather, full disks, lost homes, kills at chosen moments, three hundred rounds of torture)
#   --fast   without the whole-system tests and the example farm
set -uo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$ROOT" || exit 1
# shellcheck source=examples/tools.sh
. examples/tools.sh

LONG='' FAST='' CI_RUN=''
for option in "$@"; do
  case $option in
    --ci) CI_RUN=yes ;;
    --long) LONG=yes CI_RUN=yes ;;
    --fast) FAST=yes ;;
    *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2 ;;
  esac
done

# One profile for all: the tests start the binary that `cargo build` leaves here.
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 RUST_BACKTRACE=1
unset CARGO_BUILD_TARGET CARGO_TARGET_DIR
[ -n "$LONG" ] && export PACMESH_SIM_SEEDS=10000 PACMESH_TORTURE_ROUNDS=300 PACMESH_BUSY_SECONDS=600
PASSED=0 FAILED=0 FAILURES=()

# part NAME COMMAND... : runs it, counts it, tells its time, and goes on
part() {
  local name=$1 start=$SECONDS; shift
  printf '\n== %s\n' "$name"
  if "$@"; then
    PASSED=$((PASSED + 1))
    printf '== %s: passed in %s s\n' "$name" "$((SECONDS - start))"
  else
    FAILED=$((FAILED + 1)); FAILURES+=("$name")
    printf '== %s: FAILED after %s s\n' "$name" "$((SECONDS - start))"
  fi
}

# shellcheck disable=SC2086
install_tools $BUILD_TOOLS $NODE_TOOLS $TEST_TOOLS || exit 1
install_rust || exit 1
cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 \
  || die "rustfmt or clippy is missing: type 'rustup component add rustfmt clippy'"

# Every part selects the whole workspace: cargo then settles the features of each dependency once, and builds it once.
suite() { local name=$1; shift; part "$name" cargo test --locked --workspace "$@"; }

part 'format' cargo fmt --all --check
part 'lints' cargo clippy --locked --workspace --all-targets -- -D warnings
part 'build' cargo build --locked --workspace --all-targets
suite 'unit and property tests' --lib --bins
suite 'discovery on real sockets' --test loopback
suite 'house rules' --test tidy
suite 'simulated mesh' --test sim
suite 'doc tests' --doc
if [ -z "$FAST" ]; then
  # One at a time: each starts nodes and builds of its own, and two cores are enough for one farm.
  skipped=()
  [ -n "$CI_RUN" ] || for name in busy heal keeping relay steady backup; do skipped+=(--skip "$name::"); done
  [ -n "$LONG" ] || skipped+=(--skip survival:: --skip torture::)
  suite 'whole-system tests' --test mesh -- --test-threads=1 "${skipped[@]}"
  suite 'survival benchmark, one trial of each' --bench survival -- --trials 1 --others 3
  part 'example farm' env PACMESH_BIN="$ROOT/target/debug/pacmesh" examples/lan-farm.sh
fi

printf '\n%s s in all\n' "$SECONDS"
[ "$FAILED" -eq 0 ] || printf 'failed: %s\n' "${FAILURES[@]}"
printf '%s passed, %s failed\n' "$PASSED" "$FAILED"
[ "$FAILED" -eq 0 ]
