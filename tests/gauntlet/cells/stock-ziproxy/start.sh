render ziproxy.conf
ziproxy -d -u root -g root -c "$RUN/ziproxy.conf" -p "$RUN/zip.pid"
sleep infinity
