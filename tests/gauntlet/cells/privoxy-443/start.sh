render privoxy.conf; render corp.action; exec privoxy --no-daemon "$RUN/privoxy.conf"
