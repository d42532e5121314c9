#!/usr/bin/env bash
# What must hold, in one command: formatting, lints, unit, property, doc and whole-system tests, the simulated
# mesh, and the example farm. Installs what is missing on a fresh Debian 12 or Arch machine. Exits 0 only if all of it passed.
#
#   tests/run.sh [--long] [--fast]
#
#   --long   also the scenarios of survival (lids, weather, full disks, lost homes, kills at chosen moments), three hundred
#            rounds of torture, ten thousand simulated worlds, ten minutes at full load, two thousand jobs in one farm
#   --fast   without the whole-system tests and the example farm
set -uo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$ROOT" || exit 1
# shellcheck source=examples/tools.sh
. examples/tools.sh

LONG='' FAST=''
for option in "$@"; do
  case $option in
    --long) LONG=yes ;;
    --fast) FAST=yes ;;
    *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2 ;;
  esac
done

# One profile for all: the tests start the binary that `cargo build` leaves here.
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 RUST_BACKTRACE=1
unset CARGO_BUILD_TARGET CARGO_TARGET_DIR
[ -n "$LONG" ] && export PACMESH_SIM_SEEDS=10000 PACMESH_TORTURE_ROUNDS=300 PACMESH_BUSY_SECONDS=600 PACMESH_FLAT_JOBS=2000
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

# The program of a test or bench target that is built: run without cargo, it does not wait for cargo's other work.
program() {
  cargo test --locked --workspace --no-run "$1" "$2" 2>&1 | sed -n 's/^ *Executable .* (\(.*\))$/\1/p' | tail -n 1
}

lints() { cargo clippy --locked --workspace --all-targets -- -D warnings; }
lints_end() { wait "$LINTS" || { cat target/lints.log; return 1; }; }

part 'format' cargo fmt --all --check
part 'build' cargo build --locked --workspace --all-targets
suite 'unit and property tests' --lib --bins
suite 'discovery on real sockets' --test loopback
suite 'house rules' --test tidy
suite 'simulated mesh' --test sim
suite 'doc tests' --doc
if [ -n "$FAST" ]; then
  part 'lints' lints
else
  mesh=$ROOT/$(program --test mesh) survival=$ROOT/$(program --bench survival)
  # Farms mostly wait: for each other, for deadlines, for disks. The lints take what they leave of the processors.
  nice -n 19 bash -c "$(declare -f lints); lints" >target/lints.log 2>&1 &
  LINTS=$!
  trap 'kill "$LINTS" 2>/dev/null' EXIT
  skipped=()
  [ -n "$LONG" ] || skipped=(--skip survival:: --skip torture:: --skip flat::)
  # This one takes every core for as long as it runs.
  part 'whole-system tests' "$mesh" --test-threads=2 --skip busy:: "${skipped[@]}"
  part 'whole-system test at full load' "$mesh" busy::
  part 'survival benchmark, one trial of each' "$survival" --trials 1 --others 3
  part 'example farm' env PACMESH_BIN="$ROOT/target/debug/pacmesh" examples/lan-farm.sh
  part 'lints' lints_end
fi

printf '\n%s s in all\n' "$SECONDS"
[ "$FAILED" -eq 0 ] || printf 'failed: %s\n' "${FAILURES[@]}"
printf '%s passed, %s failed\n' "$PASSED" "$FAILED"
[ "$FAILED" -eq 0 ]
