package admin

import "net/http"

func servePage(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }
