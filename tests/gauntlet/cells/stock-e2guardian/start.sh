cp -r /etc/e2guardian "$RUN/etc"
sed -i -e "s#/etc/e2guardian#$RUN/etc#g" -e "s#^filterports *=.*#filterports = $PORT#" -e "s#^filterip *=.*#filterip = 127.0.0.1#" -e "s#^\(daemonuser\|daemongroup\|#daemonuser\|#daemongroup\).*##" -e "s#^transparenthttpsport.*##" "$RUN"/etc/*.conf
exec e2guardian -N -c "$RUN/etc/e2guardian.conf"
