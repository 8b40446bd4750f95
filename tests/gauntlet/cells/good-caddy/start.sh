render Caddyfile; export XDG_DATA_HOME=$RUN XDG_CONFIG_HOME=$RUN; exec caddy run --adapter caddyfile --config "$RUN/Caddyfile"
