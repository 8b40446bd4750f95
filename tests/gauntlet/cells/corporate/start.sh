for file in squid.conf c-icap.conf virus_scan.conf clamav_mod.conf; do render "$file"; done
mkdir -p "$RUN/db" /var/lib/clamav
echo 'Gauntlet.Test:0:*:5a5a4741554e544c45545a5a' >"$RUN/db/g.ndb"
bump
mount --bind "$RUN/db" /var/lib/clamav
c-icap -N -f "$RUN/c-icap.conf" &
for _ in $(seq 100); do
  (exec 3<>"/dev/tcp/127.0.0.1/$PORT2") 2>/dev/null && break
  sleep 0.1
done
exec squid -N -f "$RUN/squid.conf"
