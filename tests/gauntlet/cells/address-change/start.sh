# The page comes from an address of wlan0, which is all that 10.9.1.1 ever hears of it.
ip link add wlan0 type veth peer name ap0
ip link set ap0 up
ip link set wlan0 up
ip address add 10.9.1.1/32 dev lo
comes_from() {
  ip address add "$1/24" dev wlan0
  ip route replace local 10.9.1.1 dev lo table local src "$1"
}
comes_from 10.9.0.1
(
  until ss -Htn state established src 10.9.0.1 | grep -q .; do sleep 0.2; done
  sleep 12
  ip address delete 10.9.0.1/24 dev wlan0
  ip link set wlan0 down
  sleep 2
  ip link set wlan0 up
  comes_from 10.9.0.2
) &
with_haproxy
