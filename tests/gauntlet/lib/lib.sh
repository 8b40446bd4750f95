# Sourced by each start.sh. `render file` copies a configuration of the cell into RUN with its ports.
# shellcheck shell=bash
PATH=$PATH:/usr/sbin:${GAUNTLET_VENV:-}/bin
cell=$(pwd)
chmod 777 "$RUN"
render() {
  sed -e "s#@PORT@#$PORT#g;s#@PORT2@#$PORT2#g;s#@RUN@#$RUN#g;s#@CELL@#$cell#g;s#@TLS@#$TLS#g" \
    -e "s#@ORIGIN_PORT@#$ORIGIN_PORT#g;s#@ORIGIN@#127.0.0.1:$ORIGIN_PORT#g;s#@ORIGIN_B@#127.0.0.1:$ORIGIN_B_PORT#g" \
    "$cell/$1" >"$RUN/$1"
}
with_haproxy() { render haproxy.cfg; exec haproxy -db -f "$RUN/haproxy.cfg"; }
with_nginx() { render nginx.conf; exec nginx -p "$RUN" -c "$RUN/nginx.conf" -g 'daemon off;'; }
with_apache() { render apache.conf; exec apache2 -D FOREGROUND -f "$RUN/apache.conf"; }
with_squid() { render squid.conf; exec squid -N -f "$RUN/squid.conf"; }
with_varnish() {
  render default.vcl
  exec varnishd -F -n "$RUN/v" -f "$RUN/default.vcl" -a "127.0.0.1:$PORT" -s malloc,32m -j none
}
with_lighttpd() { render lighttpd.conf; exec lighttpd -D -f "$RUN/lighttpd.conf"; }
with_envoy() {
  render envoy.yaml
  exec envoy -c "$RUN/envoy.yaml" --concurrency 1 -l warn
}
with_mitmproxy() {
  cp "$TLS/mitm.pem" "$RUN/mitmproxy-ca.pem"
  exec mitmdump -q --listen-host 127.0.0.1 --listen-port "$PORT" --set confdir="$RUN" \
    --set ssl_insecure=true "$@"
}
with_shim() { exec node "$cell/../../lib/shim.js" "$@"; }
bump() {
  cp "$TLS/mitm.pem" "$RUN/"
  /usr/lib/squid/security_file_certgen -c -s "$RUN/ssl_db" -M 4MB >/dev/null
  chmod -R 777 "$RUN"
  chown -R proxy "$RUN"
}
