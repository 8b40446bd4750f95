render danted.conf; exec danted -f "$RUN/danted.conf" -p "$RUN/pid"
