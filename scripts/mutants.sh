#!/bin/sh
# Proves that the tests would notice: each patch in tests/mutants breaks one rule, and the tests must
# fail: those of the session; for a patch in tests/mutants/redis those of the backplane; for one in
# tests/mutants/faults a fleet under load, by what the checker finds. Works on the last commit, in a
# tree of its own below target/. Prints a table; exits non-zero if a mutant survives, does not apply or
# does not compile.
#
# usage: scripts/mutants.sh [name ...]     (names of patches without .patch: page-need-not-follow,
#                                           redis/delivers-twice; default all)
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
tree=$root/target/mutants
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}" CARGO_PROFILE_DEV_DEBUG=0
export PROPTEST_MAX_SHRINK_ITERS=0 RUST_BACKTRACE=0

git -C "$root" worktree remove --force "$tree" 2>/dev/null
git -C "$root" worktree add --quiet --detach --force "$tree" HEAD || exit 2
trap 'git -C "$root" worktree remove --force "$tree"' EXIT
trap 'exit 130' INT TERM
cd "$tree" || exit 2

log=$CARGO_TARGET_DIR/mutants.log

# The suite that a patch is for.
suite() {
    case $1 in
    redis/*) echo redis ;;
    faults/*) echo faults ;;
    *) echo session ;;
    esac
}

passes() {
    case $1 in
    redis) cargo test --test redis -- single:: faults:: >"$log" 2>&1 ;;
    faults) cargo test --test faults -- --include-ignored wires::broadcasts >"$log" 2>&1 ;;
    *)
        cargo test --no-fail-fast --test session >"$log" 2>&1 &&
            cargo test --lib session:: >>"$log" 2>&1
        ;;
    esac
}

if [ $# -eq 0 ]; then
    set -- $(cd "$root/tests/mutants" && ls *.patch redis/*.patch faults/*.patch | sed 's/\.patch$//')
fi
for suite in $(for name in "$@"; do suite "$name"; done | sort -u); do
    if ! passes "$suite"; then
        echo "the tests of $suite fail without any mutant; see $log" >&2
        exit 2
    fi
done
bad=0
printf '%-44s %-9s %s\n' mutant verdict 'first test that noticed'
for name in "$@"; do
    noticed=-
    if ! git apply "$root/tests/mutants/$name.patch" 2>/dev/null; then
        verdict='no patch'
        bad=1
    elif ! cargo test --no-run --test "$(suite "$name")" >"$log" 2>&1; then
        verdict='no build'
        bad=1
    elif passes "$(suite "$name")"; then
        verdict=SURVIVED
        bad=1
    else
        verdict=killed
        noticed=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | head -n 1)
    fi
    printf '%-44s %-9s %s\n' "$name" "$verdict" "$noticed"
    git checkout --quiet -- .
done
exit $bad
