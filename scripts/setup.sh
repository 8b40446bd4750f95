#!/usr/bin/env bash
# Installs the system packages that the arguments name, where they are missing:
# `scripts/setup.sh node chromium`. Debian and its relatives; elsewhere it says what to install.
set -euo pipefail
PATH=$PATH:/usr/sbin

packages_of() {
  case "$1" in
    node) command -v node >/dev/null && command -v npm >/dev/null || echo nodejs npm ;;
    chromium) [ -x /usr/bin/chromium ] || echo chromium fonts-liberation ;;
    firefox) [ -x /usr/bin/firefox-esr ] || echo firefox-esr ;;
    redis) command -v redis-server >/dev/null && command -v redis-cli >/dev/null || echo redis-server redis-tools ;;
    haproxy) command -v haproxy >/dev/null || echo haproxy ;;
    squid) [ -x /usr/lib/squid/security_file_certgen ] || echo squid-openssl ;;
    privoxy) command -v privoxy >/dev/null || echo privoxy ;;
    varnish) command -v varnishd >/dev/null || echo varnish ;;
    modsecurity) [ -r /usr/share/modsecurity-crs/owasp-crs.load ] && command -v apache2 >/dev/null || \
      echo apache2 libapache2-mod-security2 modsecurity-crs ;;
    namespaces) command -v ip >/dev/null && command -v iptables >/dev/null && command -v openssl >/dev/null || \
      echo iproute2 iptables openssl ;;
    openssl) command -v openssl >/dev/null || echo openssl ;;
    gauntlet)
      for need in haproxy nginx squid privoxy varnish modsecurity namespaces; do packages_of "$need"; done
      for need in lighttpd e2guardian ziproxy tinyproxy caddy; do
        command -v "$need" >/dev/null || echo "$need"
      done
      command -v traffic_server >/dev/null || echo trafficserver
      command -v danted >/dev/null || echo dante-server
      command -v c-icap >/dev/null || echo c-icap libc-icap-mod-virus-scan
      ;;
    faketime) compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || echo faketime ;;
    go) command -v go >/dev/null || echo golang-go ;;
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
