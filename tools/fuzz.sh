#!/usr/bin/env bash
# Builds the libFuzzer targets (preset fuzz) and runs each for a while. Findings stay in
# build/fuzz/findings; add what crashed to tests/fuzz/corpus/TARGET, which `./dev test` replays.
# usage: fuzz.sh [TARGET...] [--seconds N]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=60
targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds)
      seconds=${2:?fuzz: --seconds needs a number}
      shift
      ;;
    -*)
      echo "fuzz: unknown option $1" >&2
      exit 2
      ;;
    *) targets+=("$1") ;;
  esac
  shift
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz: --seconds needs a number, not '$seconds'" >&2; exit 2; }

./dev build fuzz fuzz_all
if [ ${#targets[@]} -eq 0 ]; then
  mapfile -t targets < <(cd build/fuzz/fuzz && find . -maxdepth 1 -type f -executable -printf '%f\n' | sort)
fi

findings=$PWD/build/fuzz/findings
failed=()
for target in "${targets[@]}"; do
  program=$PWD/build/fuzz/fuzz/$target
  [ -x "$program" ] || { echo "fuzz: there is no target '$target' in build/fuzz/fuzz" >&2; exit 2; }
  echo "== $target, $seconds s"
  mkdir -p "$findings/$target" "build/fuzz/corpus/$target"
  seeds=()
  [ -d "tests/fuzz/corpus/$target" ] && seeds=("$PWD/tests/fuzz/corpus/$target")
  "$program" -timeout=20 -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$findings/$target/" \
    "build/fuzz/corpus/$target" "${seeds[@]}" || failed+=("$target")
done
echo "${#targets[@]} targets, ${#failed[@]} with findings${failed:+: ${failed[*]}}"
[ ${#failed[@]} -eq 0 ]
