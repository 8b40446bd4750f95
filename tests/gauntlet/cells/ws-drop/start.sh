iptables -A INPUT -i lo -p tcp --dport "$PORT" -m string --algo bm --string "Upgrade: websocket" -j DROP
with_shim tcp
