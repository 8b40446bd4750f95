render open.conf
exec squid -N -f "$RUN/open.conf"
