# 3 % of the packets towards the server are answered by a reset
iptables -A INPUT -i lo -p tcp --dport "$PORT" --tcp-flags SYN NONE -m statistic --mode random --probability 0.03 -j REJECT --reject-with tcp-reset
