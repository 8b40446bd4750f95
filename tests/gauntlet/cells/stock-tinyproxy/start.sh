render tinyproxy.conf; exec tinyproxy -d -c "$RUN/tinyproxy.conf"
