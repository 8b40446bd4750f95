#!/usr/bin/env bash
# Installs the system packages that the arguments name, where they are missing:
# `scripts/setup.sh node chromium`. Debian and its relatives; elsewhere it says what to install.
set -euo pipefail
PATH=$PATH:/usr/sbin

packages_of() {
  case "$1" in
    node) command -v node >/dev/null && command -v npm >/dev/null || echo nodejs npm ;;
    chromium) [ -x /usr/bin/chromium ] || echo chromium fonts-liberation ;;
    redis) command -v redis-server >/dev/null && command -v redis-cli >/dev/null || echo redis-server redis-tools ;;
    haproxy) command -v haproxy >/dev/null || echo haproxy ;;
    nginx) command -v nginx >/dev/null || echo nginx-light ;;
    *) echo "setup: unknown need '$1'" >&2; exit 2 ;;
  esac
}

missing=()
for need in "$@"; do
  read -r -a found <<<"$(packages_of "$need" | tr '\n' ' ')"
  missing+=("${found[@]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "setup: please install: ${missing[*]}" >&2
  exit 1
fi
sudo=""
[ "$(id -u)" -eq 0 ] || sudo=sudo
echo "setup: installing ${missing[*]}"
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
