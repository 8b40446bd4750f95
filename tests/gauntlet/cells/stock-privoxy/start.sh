render privoxy.conf; exec privoxy --no-daemon "$RUN/privoxy.conf"
