exec proxy --hostname 127.0.0.1 --port "$PORT" --num-workers 1 --num-acceptors 1
