bump
with_squid
