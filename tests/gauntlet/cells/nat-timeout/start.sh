. "$cell/rules.sh"
with_shim tcp
