#!/usr/bin/env bash
# Runs a command against a fleet: three nodes on one Redis, behind HAProxy that sends each request to
# the next one (config/examples/haproxy.cfg). The command finds the balancer's address in
# THROUGHLINE_TEST_SERVERS: `scripts/fleet.sh config/dev.toml npm run test:browser`.
# BALANCE=source sends each client always to one node instead. All that it starts ends with it.
set -euo pipefail
PATH=$PATH:/usr/sbin
root=$(cd "$(dirname "$0")/.." && pwd)
config=$(realpath "$1")
shift
program=${THROUGHLINE_BIN:-$root/target/debug/throughline}
folder=$(mktemp -d)
pids=()

finish() {
  local code=$?
  trap - EXIT
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  if [ "$code" -eq 0 ]; then rm -rf "$folder"; else echo "fleet: the logs are in $folder" >&2; fi
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

# A port that is free now. Who loses it to another before it listens ends, and is started on another.
free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => {
    console.log(s.address().port); s.close(); });'
}

# Starts `$1` on a free port, and waits until `$1_answers`. Its log is `$2`.
start() {
  local tries=0
  while [ $((tries += 1)) -le 5 ]; do
    port=$(free_port)
    "$1" "$port" >"$folder/$2" 2>&1 &
    local pid=$!
    for _ in $(seq 300); do
      kill -0 "$pid" 2>/dev/null || break
      if "$1_answers" "$port" "$folder/$2"; then pids+=("$pid"); return; fi
      sleep 0.1
    done
    kill "$pid" 2>/dev/null || true
  done
  echo "fleet: $2 did not start" >&2
  cat "$folder/$2" >&2
  exit 1
}

redis() { exec redis-server --bind 127.0.0.1 --save '' --appendonly no --dir "$folder" --port "$1"; }
redis_answers() { redis-cli -p "$1" ping >/dev/null 2>&1; }
gateway() {
  exec env -u THROUGHLINE_TEST_SERVERS -u THROUGHLINE_BIN "$program" serve --config "$config" \
    --engine "redis://127.0.0.1:$redis_port" --listen "127.0.0.1:$1"
}
gateway_answers() { grep -q '^listening on' "$2"; }
# /api, /ready and /metrics are for the inside; the suites ask for them where the pages are.
balancer() {
  sed "/http-request deny/d; /acl realtime/d; s/balance roundrobin/balance ${BALANCE:-roundrobin}/" \
    "$root/config/examples/haproxy.cfg" >"$folder/haproxy.cfg"
  exec env LISTEN="127.0.0.1:$1" NODE1="127.0.0.1:${nodes[0]}" NODE2="127.0.0.1:${nodes[1]}" \
    NODE3="127.0.0.1:${nodes[2]}" haproxy -db -f "$folder/haproxy.cfg"
}

balancer_answers() { [ "$(curl -so /dev/null -w '%{http_code}' "http://127.0.0.1:$1/ready")" = 200 ]; }

start redis redis
redis_port=$port
nodes=()
for number in 1 2 3; do
  start gateway "node$number"
  nodes+=("$port")
done
start balancer haproxy
THROUGHLINE_TEST_SERVERS=http://127.0.0.1:$port "$@"
