render squid.conf
bump
exec squid -N -f "$RUN/squid.conf"
