//! Datagrams from the kernel → those of each peer, decoded once it is known whose they are.

use std::net::SocketAddr;

use membench_common::{Datagram, Header};

use super::Session;
use crate::capture::datagrams::{self, Last, Waiting};
use crate::capture::sockets::Role;
use crate::segment::{Direction, Segment};

impl Session {
    pub(super) fn take_datagram(
        &mut self,
        header: &Header,
        datagram: &Datagram,
        segment: &Segment<'_>,
    ) {
        let cookie = header.cookie;
        let Some(Role::Datagrams(server)) = self.sockets.role(cookie) else {
            self.orphaned += segment.length();
            return;
        };
        let (thread, peer) = ((cookie, datagram.thread), datagrams::peer(datagram));
        if segment.direction == Direction::Request {
            match self.threads.take(thread) {
                Some(Last::Waiting(waiting)) => {
                    let (connection, id) = self.deliver(cookie, server, peer, &waiting);
                    if let Some(id) = id {
                        self.decoder.finish_datagram(connection, id);
                    }
                }
                Some(Last::Known(connection, id)) => self.decoder.finish_datagram(connection, id),
                None => {}
            }
            self.threads
                .note(thread, Last::Waiting(Waiting::new(segment)));
            return;
        }
        if let Some(waiting) = self.threads.take_waiting(thread)
            && let (connection, Some(id)) = self.deliver(cookie, server, peer, &waiting)
        {
            self.threads.note(thread, Last::Known(connection, id));
        }
        let connection = self.datagrams_of(cookie, server, peer, header.time);
        self.push_datagram(&Segment {
            connection,
            ..*segment
        });
    }

    /// Decodes a request whose peer is told now.
    fn deliver(
        &mut self,
        cookie: u64,
        server: u32,
        peer: Option<SocketAddr>,
        waiting: &Waiting,
    ) -> (u32, Option<u16>) {
        let connection = self.datagrams_of(cookie, server, peer, waiting.time());
        let id = waiting.with(connection, |segment| self.push_datagram(segment));
        (connection, id)
    }

    fn push_datagram(&mut self, segment: &Segment<'_>) -> Option<u16> {
        let role = Role::Connection(segment.connection);
        self.sockets
            .count(role, segment.direction, segment.length());
        self.decoder.push_datagram(segment)
    }

    fn datagrams_of(
        &mut self,
        cookie: u64,
        server: u32,
        peer: Option<SocketAddr>,
        time: u64,
    ) -> u32 {
        let (connection, is_new) = self.sockets.of_datagram(cookie, server, peer, time);
        if is_new {
            self.decoder.open_datagrams(connection, server);
        }
        connection
    }

    /// Requests whose peer was never told.
    pub(super) fn deliver_rest(&mut self) {
        for ((cookie, _), waiting) in self.threads.rest() {
            if let Some(Role::Datagrams(server)) = self.sockets.role(cookie) {
                self.deliver(cookie, server, None, &waiting);
            }
        }
    }
}
