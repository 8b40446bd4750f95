# stateful NAT/firewall that forgets an established flow after 5 s of silence and then drops its packets without a reset
iptables -A INPUT -i lo -p tcp --dport "$PORT" -m conntrack --ctstate INVALID -j DROP
iptables -A INPUT -i lo -p tcp --sport "$PORT" -m conntrack --ctstate INVALID -j DROP
iptables -A INPUT -i lo -m conntrack --ctstate NEW,ESTABLISHED,RELATED -j ACCEPT
sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0 net.netfilter.nf_conntrack_tcp_timeout_established=5
