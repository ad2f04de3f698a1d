// What RTCPeerConnection.getStats says of a call, in words.

const DTLS = { FEFF: "DTLS 1.0", FEFD: "DTLS 1.2", FEFC: "DTLS 1.3" };

/** Rows of [name, value] about security and about media. */
export function factsOf(report) {
  const all = [...report.values()];
  const transport = all.find(({ type }) => type === "transport") ?? {};
  const rtp = (type) => all.find((one) => one.type === type && one.kind === "audio") ?? {};
  const [sent, received, heard] = [rtp("outbound-rtp"), rtp("inbound-rtp"), rtp("remote-inbound-rtp")];
  const certificate = (id) => {
    const { fingerprint, fingerprintAlgorithm } = report.get(id) ?? {};
    return fingerprint && `${fingerprintAlgorithm} ${fingerprint}`;
  };
  const pair = report.get(transport.selectedCandidatePairId) ?? {};
  const remote = report.get(pair.remoteCandidateId) ?? {};
  const version = transport.tlsVersion;
  return {
    security: rows({
      Keying: transport.dtlsState && `DTLS-SRTP, ${transport.dtlsState}`,
      Version: version && (DTLS[version] ?? version),
      "DTLS cipher": transport.dtlsCipher,
      "SRTP cipher": transport.srtpCipher,
      Role: transport.dtlsRole,
      "Server's certificate": certificate(transport.remoteCertificateId),
      "Our certificate": certificate(transport.localCertificateId),
    }),
    media: rows({
      Codec: codec(report.get(received.codecId ?? sent.codecId)),
      "Packets sent": sent.packetsSent,
      "Packets received": received.packetsReceived,
      "Lost on the way here": received.packetsLost,
      "Lost on the way there": heard.packetsLost,
      "Jitter here": milliseconds(received.jitter),
      "Jitter there": milliseconds(heard.jitter),
      "Round trip": milliseconds(heard.roundTripTime ?? pair.currentRoundTripTime),
      Server: remote.address && `${remote.address}:${remote.port}`,
    }),
  };
}

function codec(stats) {
  return stats && `${stats.mimeType.replace("audio/", "")} ${stats.clockRate / 1000} kHz`;
}

function milliseconds(seconds) {
  return seconds === undefined ? undefined : `${(seconds * 1000).toFixed(1)} ms`;
}

function rows(facts) {
  return Object.entries(facts).filter(([, value]) => value !== undefined && value !== "");
}
