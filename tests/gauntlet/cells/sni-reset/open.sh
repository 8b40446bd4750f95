render open.cfg
exec haproxy -db -f "$RUN/open.cfg"
