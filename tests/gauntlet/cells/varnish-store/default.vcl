vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "@ORIGIN_PORT@"; }
sub vcl_backend_response { set beresp.do_stream = false; }
sub vcl_recv { return (pass); }
