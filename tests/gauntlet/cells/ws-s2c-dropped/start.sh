with_mitmproxy --set stream_large_bodies=1 -s "$cell/drop.py"
