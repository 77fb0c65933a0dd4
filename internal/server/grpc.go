package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/light-in-the-loop/opu/internal/oip/oippb"
)

// ForGRPC makes a listener one on which Serve speaks gRPC. Over TLS its configuration
// must offer the protocol "h2".
func ForGRPC(l net.Listener) net.Listener { return grpcListener{l} }

type grpcListener struct{ net.Listener }

// Limits of gRPC. A message is as large as its sender likes, up to the most; that much
// is taken from the budget before it is read, twice: as it came, and decoded.
const (
	mostStreams  = 64  // calls of a connection at a time
	messageShare = 128 // part of Limits.Memory that a message may have
)

func (s *Server) mostMessage() int {
	return min(s.o.Limits.Body, s.o.Limits.Memory/messageShare, math.MaxInt32)
}

// newGRPC makes the gRPC server.
func (s *Server) newGRPC() *grpc.Server {
	g := grpc.NewServer(
		grpc.Creds(peerCredentials{}), grpc.ConnectionTimeout(headerTimeout),
		grpc.MaxRecvMsgSize(s.mostMessage()), grpc.MaxSendMsgSize(math.MaxInt32), grpc.MaxHeaderListSize(64<<10),
		grpc.MaxConcurrentStreams(mostStreams), grpc.WriteBufferSize(256<<10), grpc.ForceServerCodecV2(newCodec()),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTimeout, Time: time.Minute}),
	)
	g.RegisterService(s.rpcs(oippb.GRPCInferenceService_ServiceDesc), &inference{s: s})
	g.RegisterService(s.rpcs(grpc_health_v1.Health_ServiceDesc), &health{s: s})
	return g
}

// openCalls need no token.
var openCalls = map[string]bool{"ServerLive": true, "ServerReady": true, "Check": true}

// rpcs is the service with every unary call as a stream of one message each way. On the
// wire that is the same; here it lets a call be looked at before its message is read.
func (s *Server) rpcs(d grpc.ServiceDesc) *grpc.ServiceDesc {
	methods := d.Methods
	d.Methods, d.Streams = nil, nil // streams proper are not served
	for _, m := range methods {
		open := openCalls[m.MethodName]
		d.Streams = append(d.Streams, grpc.StreamDesc{
			StreamName: m.MethodName, ServerStreams: true, ClientStreams: true,
			Handler: func(service any, stream grpc.ServerStream) (err error) {
				defer func() {
					if r := recover(); r != nil {
						s.o.Log.Error("panic while a call was served", "call", m.MethodName, "panic", r)
						err = status.Error(codes.Internal, "cannot answer: the server has made a mistake, and logged it")
					}
				}()
				c, err := s.callOf(stream, open)
				if err != nil {
					return s.refuseCall(stream.Context(), m.MethodName, err)
				}
				if m.MethodName == "ModelInfer" {
					err = c.infer()
				} else {
					err = c.unary(service, m)
				}
				if err != nil {
					return s.refuseCall(stream.Context(), m.MethodName, err)
				}
				return nil
			},
		})
	}
	return &d
}

// call is a call that was let in.
type call struct {
	s      *Server
	stream grpc.ServerStream
	peer   *peer
	conn   net.Conn
	hold   *hold // has room for its message
}

// callOf lets a call in, or not.
func (s *Server) callOf(stream grpc.ServerStream, open bool) (*call, error) {
	ctx := stream.Context()
	from, ok := grpcpeer.FromContext(ctx)
	if !ok {
		return nil, errors.New("cannot tell who calls")
	}
	info := from.AuthInfo.(callerInfo) // of peerCredentials
	authorization := ""
	if md, ok := metadata.FromIncomingContext(ctx); ok && len(md.Get("authorization")) > 0 {
		authorization = md.Get("authorization")[0]
	}
	user := info.peer.user
	if err := s.admit(info.peer, authorization); err != nil {
		if !open {
			return nil, err
		}
		user = "anyone" // whoever has no token takes nothing from those who have
	}
	h, err := s.budget.enter(user)
	if err != nil {
		return nil, err
	}
	if err := h.take(int64(2 * s.mostMessage())); err != nil {
		h.release()
		return nil, err
	}
	return &call{s, stream, info.peer, info.conn, h}, nil
}

type peerKeyRPC struct{}

// unary has a method of a service answer.
func (c *call) unary(service any, m grpc.MethodDesc) error {
	defer c.hold.release()
	ctx := context.WithValue(c.stream.Context(), peerKeyRPC{}, c.peer)
	answer, err := m.Handler(service, ctx, c.stream.RecvMsg, nil)
	if err != nil {
		return err
	}
	return c.stream.SendMsg(answer)
}

// peerOfCall returns the peer of a call.
func peerOfCall(ctx context.Context) *peer { return ctx.Value(peerKeyRPC{}).(*peer) }

// infer is the call ModelInfer.
func (c *call) infer() error {
	var text encoded
	q, err := (*oippb.ModelInferRequest)(nil), c.stream.RecvMsg(&text)
	if err == nil {
		q, err = text.decode()
	}
	if err != nil {
		c.hold.release()
		return err
	}
	c.hold.give(int64(2 * (c.s.mostMessage() - len(text))))
	result, err := c.s.compute(c.stream.Context(), ask{peer: c.peer, hold: c.hold, model: q.ModelName, version: q.ModelVersion, read: readMessage(q)})
	if err != nil {
		return err
	}
	answer := newReply(result)
	if err := c.stream.SendMsg(answer); err != nil {
		c.s.o.Log.Debug("client gone while its response was sent", "error", err)
	}
	// The response is the transport's until its bytes are with the system. Somebody who
	// does not take them must not keep the memory.
	late := time.NewTimer(bodyTimeout)
	defer late.Stop()
	select {
	case <-answer.sent:
		result.release()
		return nil
	case <-c.stream.Context().Done():
	case <-late.C:
		c.conn.Close()
	}
	result.abandon()
	return nil
}

// refuseCall is refuse for gRPC (section 10).
func (s *Server) refuseCall(ctx context.Context, method string, err error) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	if _, isStatus := status.FromError(err); isStatus { // the transport's own
		return err
	}
	as := refusalOf(err)
	s.refused.count(as.status)
	if as.rpc == codes.Internal {
		s.o.Log.Error("request failed", "call", method, "error", err)
	}
	return status.Error(as.rpc, err.Error())
}

// peerCredentials tells who is at the other end of a connection, as withPeer does for
// HTTP.
type peerCredentials struct{}

type callerInfo struct {
	peer *peer
	conn net.Conn
}

// AuthType is for grpc.
func (callerInfo) AuthType() string { return "opu" }

// ServerHandshake is called with a deadline on the connection.
func (peerCredentials) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	p := newPeer(c)
	if t, ok := c.(*tls.Conn); ok {
		if err := t.Handshake(); err != nil {
			return nil, nil, fmt.Errorf("cannot agree on TLS: %w", err)
		}
		state := t.ConnectionState()
		p.certified(&state)
	}
	return c, callerInfo{p, c}, nil
}

// ClientHandshake is not for servers.
func (peerCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("cannot be a client")
}

// Info is for grpc.
func (peerCredentials) Info() credentials.ProtocolInfo { return credentials.ProtocolInfo{} }

// Clone is for grpc.
func (c peerCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName is not for servers.
func (peerCredentials) OverrideServerName(string) error { return nil }

// stopGRPC ends the calls that were begun, or what is left of them when ctx ends.
func stopGRPC(ctx context.Context, g *grpc.Server) {
	ended := make(chan struct{})
	go func() {
		g.GracefulStop()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		g.Stop()
		<-ended
	}
}
