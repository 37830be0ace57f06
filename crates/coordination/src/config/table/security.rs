//! Keys of a broker: TLS, SASL, authorisation and delegation tokens.

use crate::config::definition::configs;

configs! {
    /// Keys of a broker: TLS, SASL, authorisation and delegation tokens.
    SECURITY in Broker;

    "authorizer.class.name": String = "", NonNull, Low, ReadOnly, Refused,
        "Java class that decides who may do what.";
    "principal.builder.class": Class = "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder", Any, Medium, PerBroker, Accepted,
        "Java class that makes the principal of a connection.";
    "security.providers": String = null, Any, Low, ReadOnly, Accepted,
        "Java classes that offer cryptographic algorithms.";
    "delegation.token.expiry.check.interval.ms": Long = "3600000", AtLeast(1), Low, ReadOnly, Accepted,
        "How often expired delegation tokens are looked for.";
    "delegation.token.expiry.time.ms": Long = "86400000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Time after which a delegation token must be renewed.";
    "delegation.token.max.lifetime.ms": Long = "604800000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Time after which a delegation token cannot be renewed.";
    "delegation.token.secret.key": Password = null, Any, Medium, ReadOnly, Accepted,
        "Key that delegation tokens are signed with, the same on all brokers.";
    "ssl.allow.dn.changes": Boolean = "false", Any, Low, ReadOnly, Accepted,
        "Allow the distinguished name to change when certificates are reloaded.";
    "ssl.allow.san.changes": Boolean = "false", Any, Low, ReadOnly, Accepted,
        "Allow the alternative names to change when certificates are reloaded.";
    "ssl.cipher.suites": List = "", DistinctList, Medium, PerBroker, Accepted,
        "Cipher suites that may be negotiated.";
    "ssl.client.auth": String = "none", OneOf(&["required", "requested", "none"]), Medium, PerBroker, Accepted,
        "Whether clients must show a certificate.";
    "ssl.enabled.protocols": List = "TLSv1.2,TLSv1.3", DistinctList, Medium, PerBroker, Accepted,
        "TLS versions that may be negotiated.";
    "ssl.endpoint.identification.algorithm": String = "https", Any, Low, PerBroker, Accepted,
        "How a server's host name is checked against its certificate.";
    "ssl.engine.factory.class": Class = null, Any, Low, PerBroker, Accepted,
        "Java class that makes TLS engines.";
    "ssl.key.password": Password = null, Any, Medium, PerBroker, Accepted,
        "Password of the private key.";
    "ssl.keymanager.algorithm": String = "SunX509", Any, Medium, PerBroker, Accepted,
        "Java's algorithm for choosing keys.";
    "ssl.keystore.certificate.chain": Password = null, Any, Medium, PerBroker, Accepted,
        "Certificate chain, in PEM.";
    "ssl.keystore.key": Password = null, Any, Medium, PerBroker, Accepted,
        "Private key, in PEM.";
    "ssl.keystore.location": String = null, Any, Medium, PerBroker, Accepted,
        "File with the private key and its certificates.";
    "ssl.keystore.password": Password = null, Any, Medium, PerBroker, Accepted,
        "Password of the key store.";
    "ssl.keystore.type": String = "JKS", Any, Medium, PerBroker, Accepted,
        "Format of the key store.";
    "ssl.principal.mapping.rules": String = "DEFAULT", Any, Low, ReadOnly, Accepted,
        "Rules that turn a distinguished name into a short one.";
    "ssl.protocol": String = "TLSv1.3", Any, Medium, PerBroker, Accepted,
        "TLS version preferred.";
    "ssl.provider": String = null, Any, Medium, PerBroker, Accepted,
        "Java's provider of TLS.";
    "ssl.secure.random.implementation": String = null, Any, Low, PerBroker, Accepted,
        "Java's random number generator for TLS.";
    "ssl.trustmanager.algorithm": String = "PKIX", Any, Medium, PerBroker, Accepted,
        "Java's algorithm for checking certificates.";
    "ssl.truststore.certificates": Password = null, Any, Medium, PerBroker, Accepted,
        "Trusted certificates, in PEM.";
    "ssl.truststore.location": String = null, Any, Medium, PerBroker, Accepted,
        "File with the trusted certificates.";
    "ssl.truststore.password": Password = null, Any, Medium, PerBroker, Accepted,
        "Password of the trust store.";
    "ssl.truststore.type": String = "JKS", Any, Medium, PerBroker, Accepted,
        "Format of the trust store.";
    "sasl.client.callback.handler.class": Class = null, Any, Medium, ReadOnly, Accepted,
        "Java class that answers SASL callbacks of a client.";
    "sasl.enabled.mechanisms": List = "GSSAPI", DistinctList, Medium, PerBroker, Accepted,
        "SASL mechanisms offered to clients.";
    "sasl.jaas.config": Password = null, Any, Medium, PerBroker, Accepted,
        "JAAS settings of a SASL login.";
    "sasl.kerberos.kinit.cmd": String = "/usr/bin/kinit", Any, Medium, PerBroker, Accepted,
        "Path of the kinit command.";
    "sasl.kerberos.min.time.before.relogin": Long = "60000", Any, Medium, PerBroker, Accepted,
        "Shortest time between two Kerberos logins.";
    "sasl.kerberos.principal.to.local.rules": List = "DEFAULT", DistinctList, Medium, PerBroker, Accepted,
        "Rules that turn a Kerberos principal into a short name.";
    "sasl.kerberos.service.name": String = null, Any, Medium, PerBroker, Accepted,
        "Kerberos service the broker runs as.";
    "sasl.kerberos.ticket.renew.jitter": Double = "0.05", Any, Medium, PerBroker, Accepted,
        "Random share of the time to ticket renewal.";
    "sasl.kerberos.ticket.renew.window.factor": Double = "0.8", Any, Medium, PerBroker, Accepted,
        "Share of a ticket's life after which it is renewed.";
    "sasl.login.callback.handler.class": Class = null, Any, Medium, ReadOnly, Accepted,
        "Java class that answers callbacks of the login.";
    "sasl.login.class": Class = null, Any, Medium, ReadOnly, Accepted,
        "Java class that logs in.";
    "sasl.login.connect.timeout.ms": Int = null, Any, Low, ReadOnly, Accepted,
        "Connect timeout of a login at an outside provider.";
    "sasl.login.read.timeout.ms": Int = null, Any, Low, ReadOnly, Accepted,
        "Read timeout of a login at an outside provider.";
    "sasl.login.refresh.buffer.seconds": Short = "300", Any, Medium, PerBroker, Accepted,
        "Time before expiry in which a credential is not refreshed.";
    "sasl.login.refresh.min.period.seconds": Short = "60", Any, Medium, PerBroker, Accepted,
        "Shortest time before a credential is refreshed.";
    "sasl.login.refresh.window.factor": Double = "0.8", Any, Medium, PerBroker, Accepted,
        "Share of a credential's life after which it is refreshed.";
    "sasl.login.refresh.window.jitter": Double = "0.05", Any, Medium, PerBroker, Accepted,
        "Random share of the time to refreshing a credential.";
    "sasl.login.retry.backoff.max.ms": Long = "10000", Any, Low, ReadOnly, Accepted,
        "Longest pause between tries of a login.";
    "sasl.login.retry.backoff.ms": Long = "100", Any, Low, ReadOnly, Accepted,
        "First pause between tries of a login.";
    "sasl.mechanism.controller.protocol": String = "GSSAPI", Any, High, ReadOnly, Accepted,
        "SASL mechanism towards controllers.";
    "sasl.mechanism.inter.broker.protocol": String = "GSSAPI", Any, Medium, PerBroker, Accepted,
        "SASL mechanism between brokers.";
    "sasl.oauthbearer.assertion.algorithm": String = "RS256", OneOfIgnoringCase(&["ES256", "RS256"]), Medium, ReadOnly, Accepted,
        "Algorithm that signs the JWT assertion.";
    "sasl.oauthbearer.assertion.claim.aud": String = null, Any, Medium, ReadOnly, Accepted,
        "Audience claim of the JWT assertion.";
    "sasl.oauthbearer.assertion.claim.exp.seconds": Int = "300", Between(0, 86_400), Low, ReadOnly, Accepted,
        "Seconds until the JWT assertion expires.";
    "sasl.oauthbearer.assertion.claim.iss": String = null, Any, Medium, ReadOnly, Accepted,
        "Issuer claim of the JWT assertion.";
    "sasl.oauthbearer.assertion.claim.jti.include": Boolean = "false", Any, Medium, ReadOnly, Accepted,
        "Give every JWT assertion an id of its own.";
    "sasl.oauthbearer.assertion.claim.nbf.seconds": Int = "60", Between(0, 3600), Low, ReadOnly, Accepted,
        "Seconds before now from which the JWT assertion counts.";
    "sasl.oauthbearer.assertion.claim.sub": String = null, Any, Medium, ReadOnly, Accepted,
        "Subject claim of the JWT assertion.";
    "sasl.oauthbearer.assertion.file": String = null, Any, Medium, ReadOnly, Accepted,
        "File with a ready JWT assertion.";
    "sasl.oauthbearer.assertion.private.key.file": String = null, Any, Medium, ReadOnly, Accepted,
        "File with the key that signs the JWT assertion.";
    "sasl.oauthbearer.assertion.private.key.passphrase": Password = null, Any, Medium, ReadOnly, Accepted,
        "Passphrase of that key.";
    "sasl.oauthbearer.assertion.template.file": String = null, Any, Medium, ReadOnly, Accepted,
        "File with headers and claims of the JWT assertion.";
    "sasl.oauthbearer.client.credentials.client.id": String = null, Any, Medium, ReadOnly, Accepted,
        "OAuth client id.";
    "sasl.oauthbearer.client.credentials.client.secret": Password = null, Any, Medium, ReadOnly, Accepted,
        "OAuth client secret.";
    "sasl.oauthbearer.clock.skew.seconds": Int = "30", Any, Low, ReadOnly, Accepted,
        "Difference of clocks tolerated when a JWT is checked.";
    "sasl.oauthbearer.expected.audience": List = "", DistinctList, Low, ReadOnly, Accepted,
        "Audiences a JWT must be issued for.";
    "sasl.oauthbearer.expected.issuer": String = null, Any, Low, ReadOnly, Accepted,
        "Issuer a JWT must come from.";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms": Long = "3600000", Any, Low, ReadOnly, Accepted,
        "How often the signing keys are fetched.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": Long = "10000", Any, Low, ReadOnly, Accepted,
        "Longest pause between tries of fetching the signing keys.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": Long = "100", Any, Low, ReadOnly, Accepted,
        "First pause between tries of fetching the signing keys.";
    "sasl.oauthbearer.jwks.endpoint.url": String = null, Any, Medium, ReadOnly, Accepted,
        "Where the signing keys are fetched.";
    "sasl.oauthbearer.jwt.retriever.class": Class = "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever", Any, Medium, ReadOnly, Accepted,
        "Java class that fetches a JWT.";
    "sasl.oauthbearer.jwt.validator.class": Class = "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator", Any, Medium, ReadOnly, Accepted,
        "Java class that checks a JWT.";
    "sasl.oauthbearer.scope": String = null, Any, Medium, ReadOnly, Accepted,
        "Scope asked for in an OAuth request.";
    "sasl.oauthbearer.scope.claim.name": String = "scope", Any, Low, ReadOnly, Accepted,
        "Name of the scope claim.";
    "sasl.oauthbearer.sub.claim.name": String = "sub", Any, Low, ReadOnly, Accepted,
        "Name of the subject claim.";
    "sasl.oauthbearer.token.endpoint.url": String = null, Any, Medium, ReadOnly, Accepted,
        "Where OAuth tokens are fetched.";
    "sasl.server.callback.handler.class": Class = null, Any, Medium, ReadOnly, Accepted,
        "Java class that answers SASL callbacks of the broker.";
    "sasl.server.max.receive.size": Int = "524288", Any, Medium, ReadOnly, Accepted,
        "Largest SASL message accepted before authentication.";
}
