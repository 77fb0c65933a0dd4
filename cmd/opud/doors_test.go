package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/oip/oippb"
	"github.com/light-in-the-loop/opu/internal/server"
)

// authority signs certificates for a test, and writes them as PEM.
type authority struct {
	t      *testing.T
	folder string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

// pair makes a certificate, signed by the authority (by itself, if it is the first),
// and writes NAME.pem and NAME-key.pem.
func (a *authority) pair(name string) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.serial++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: a.cert == nil,
	}
	if a.cert == nil {
		a.cert, a.key = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	write(a.t, filepath.Join(a.folder, name+".pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(a.t, filepath.Join(a.folder, name+"-key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	pair, err := tls.LoadX509KeyPair(filepath.Join(a.folder, name+".pem"), filepath.Join(a.folder, name+"-key.pem"))
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

// idle is an OPU that nobody asks for anything.
type idle struct{}

func (idle) Shape() (int, int)                                                  { return 1, 1 }
func (idle) Epoch() string                                                      { return "b-idle" }
func (idle) Stats() driver.Stats                                                { return driver.Stats{} }
func (idle) ProjectWindow(context.Context, []complex64, []int8, int, int) error { return nil }
func (idle) Intensity(context.Context, []float32, []int8) error                 { return nil }

// All doors that a file can name, with TLS and certificates of clients.
func TestDoors(t *testing.T) {
	folder := t.TempDir()
	a := &authority{t: t, folder: folder}
	a.pair("ca")
	a.pair("server")
	ada := a.pair("Ada")
	stranger := (&authority{t: t, folder: t.TempDir()}).pair("stranger")
	file := filepath.Join(folder, "opud.toml")
	write(t, file, fmt.Sprintf(`
[listen]
socket = "%[1]s/http.sock"
http = "127.0.0.1:0"
token_file = "%[1]s/token"
tls_certificate = "%[1]s/server.pem"
tls_key = "%[1]s/server-key.pem"
tls_client_ca = "%[1]s/ca.pem"
grpc_socket = "%[1]s/grpc.sock"
grpc = "127.0.0.1:0"
[shared_memory]
enabled = true
`, folder))
	c, err := loadConfig([]string{"-config", file}, environment())
	if err != nil {
		t.Fatal(err)
	}
	doors, err := c.open(environment(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := c.memory()
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Options{Matrix: &server.Matrix{OPU: idle{}}, Token: doors.token, SharedMemory: memory})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, doors.listeners...) }()
	m := regexp.MustCompile(`^unix .*http.sock, grpc unix .*grpc.sock, tcp ([0-9.:]+), grpc tcp ([0-9.:]+)$`).FindStringSubmatch(strings.Join(doors.names, ", "))
	if m == nil {
		t.Fatalf("the doors are %v", doors.names)
	}
	http1, http2 := m[1], m[2]
	secret, err := os.ReadFile(filepath.Join(folder, "token"))
	if err != nil {
		t.Fatal(err)
	}
	token := "Bearer " + strings.TrimSpace(string(secret))
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		certificates []tls.Certificate
		token        string
		status       int // 0: no connection
		code         codes.Code
	}{
		"both":                {[]tls.Certificate{ada}, token, 200, codes.OK},
		"no token":            {[]tls.Certificate{ada}, "", 401, codes.Unauthenticated},
		"no certificate":      {nil, token, 0, codes.Unavailable},
		"another's signature": {[]tls.Certificate{stranger}, token, 0, codes.Unavailable},
	} {
		config := &tls.Config{RootCAs: roots, Certificates: c.certificates}
		client := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		request, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+http1+"/v2", nil)
		request.Header.Set("Authorization", c.token)
		got := 0
		if response, err := client.Do(request); err == nil {
			got = response.StatusCode
			response.Body.Close()
		}
		client.CloseIdleConnections()
		if got != c.status {
			t.Errorf("HTTP, %s: status %d, want %d", name, got, c.status)
		}
		conn, err := grpc.NewClient(http2, grpc.WithTransportCredentials(credentials.NewTLS(config.Clone())))
		if err != nil {
			t.Fatal(err)
		}
		_, err = oippb.NewGRPCInferenceServiceClient(conn).ServerMetadata(metadata.AppendToOutgoingContext(t.Context(), "authorization", c.token), nil)
		if status.Code(err) != c.code {
			t.Errorf("gRPC, %s: %v, want %v", name, err, c.code)
		}
		conn.Close()
	}
	conn, err := grpc.NewClient("unix://"+filepath.Join(folder, "grpc.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := oippb.NewGRPCInferenceServiceClient(conn).ServerMetadata(t.Context(), nil); err != nil || !strings.Contains(fmt.Sprint(m.Extensions), "system_shared_memory") {
		t.Errorf("over the gRPC socket: %v, %v", m, err)
	}
	conn.Close()
	for _, socket := range []string{"http.sock", "grpc.sock"} {
		if info, err := os.Stat(filepath.Join(folder, socket)); err != nil || info.Mode().Perm() != 0o660 {
			t.Errorf("%s has mode %v (%v), want 0660", socket, info.Mode(), err)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
