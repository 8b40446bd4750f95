mkdir -p $RUN/etc $RUN/var/log $RUN/run $RUN/cache
cp /etc/trafficserver/* $RUN/etc/ 2>/dev/null
render remap.config; cp "$RUN/remap.config" "$RUN/etc/"
cat > $RUN/runroot.yaml <<Y
prefix: /usr
exec_prefix: /usr
bindir: /usr/bin
sbindir: /usr/sbin
sysconfdir: $RUN/etc
datadir: $RUN/cache
libexecdir: /usr/lib/trafficserver/modules
localstatedir: $RUN/run
runtimedir: $RUN/run
logdir: $RUN/var/log
cachedir: $RUN/cache
Y
render records.config; cp "$RUN/records.config" "$RUN/etc/"
printf '%s 16M\n' $RUN/cache > $RUN/etc/storage.config
chmod -R 777 $RUN; exec traffic_server --run-root=$RUN/runroot.yaml
