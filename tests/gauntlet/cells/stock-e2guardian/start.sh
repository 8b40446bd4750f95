cp -r /etc/e2guardian "$RUN/etc"
mkdir "$RUN/log"
conf=$RUN/etc/e2guardian.conf
find "$RUN/etc" -name '*.conf' -exec sed -i "s|/etc/e2guardian|$RUN/etc|g" {} +
sed -i -E '/^(filterip|filterports|daemonuser|daemongroup|pidfilename|loglocation|transparenthttpsport|dstatlocation) *=/d' "$conf"
cat >>"$conf" <<SETTINGS
filterip = 127.0.0.1
filterports = $PORT
daemonuser = 'nobody'
daemongroup = 'nogroup'
pidfilename = '$RUN/e2guardian.pid'
loglocation = '$RUN/log/access.log'
SETTINGS
chmod -R 777 "$RUN"
exec e2guardian -N -c "$conf"
