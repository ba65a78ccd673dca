package fakerelay

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

type entry struct {
	XMLName xml.Name `xml:"http://www.w3.org/2005/Atom entry"`
	ID      string   `xml:"id"`
	Title   string   `xml:"title"`
	Updated string   `xml:"updated"`
	Content struct {
		Type        string `xml:"type,attr"`
		Description description
	} `xml:"content"`
}

// description has the fields in the order of the service's data contract: .NET
// reads them strictly forward, and drops without a word what comes late. A Hybrid
// Connection Manager that misses UserMetadata so ends at its start.
type description struct {
	XMLName                     xml.Name `xml:"http://schemas.microsoft.com/netservices/2010/10/servicebus/connect HybridConnectionDescription"`
	CreatedAt                   string
	UpdatedAt                   string
	RequiresClientAuthorization bool
	UserMetadata                string `xml:",omitempty"`
	ListenerCount               int
}

// describe answers GET /entity?api-version=2016-07, with which a Hybrid
// Connection Manager finds the host and port it is to dial.
func (s *Server) describe(r *request) verdict {
	path, err := url.PathUnescape(strings.Trim(r.URL.EscapedPath(), "/"))
	if err != nil {
		return s.xmlError(r, http.StatusBadRequest, "The path is malformed")
	}
	_, no := s.authorize(r, path, toRead)
	if no.status == http.StatusNotFound {
		// Not an error: an empty feed of what begins with that name.
		feed := fmt.Sprintf(`<feed xmlns="http://www.w3.org/2005/Atom"><title type="text">Publicly Listed Services</title>`+
			`<id>https://%s/%s</id><updated>%s</updated></feed>`,
			hostOnly(r.Host), url.PathEscape(path), s.now().UTC().Format(time.RFC3339))
		return s.answer(r, http.StatusOK, "OK", http.Header{"Content-Type": {"application/atom+xml;type=feed;charset=utf-8"}}, []byte(feed))
	}
	if no.status != 0 {
		return s.xmlError(r, no.status, no.text)
	}
	e := entry{ID: "https://" + r.Host + "/" + path, Title: path}
	e.Content.Type = "application/xml"
	s.mu.Lock()
	h, rest := s.lookup(path)
	if h == nil || rest != "" {
		s.mu.Unlock()
		return s.xmlError(r, http.StatusNotFound, "No such entity")
	}
	e.Updated = h.updated.UTC().Format(time.RFC3339)
	e.Content.Description = description{
		CreatedAt:                   h.created.UTC().Format(time.RFC3339),
		UpdatedAt:                   e.Updated,
		RequiresClientAuthorization: !h.Anonymous,
		UserMetadata:                h.UserMetadata,
		ListenerCount:               len(h.listeners),
	}
	s.mu.Unlock()
	body, err := xml.Marshal(e)
	if err != nil {
		return s.xmlError(r, http.StatusInternalServerError, "The entity cannot be described")
	}
	return s.answer(r, http.StatusOK, "OK", http.Header{"Content-Type": {"application/atom+xml;type=entry;charset=utf-8"}}, body)
}

func (s *Server) xmlError(r *request, status int, text string) verdict {
	var detail strings.Builder
	xml.EscapeText(&detail, []byte(s.trackedPhrase(r, text)))
	body := fmt.Sprintf("<Error><Code>%d</Code><Detail>%s</Detail></Error>", status, detail.String())
	return s.answer(r, status, http.StatusText(status), http.Header{"Content-Type": {"application/xml; charset=utf-8"}}, []byte(body))
}
