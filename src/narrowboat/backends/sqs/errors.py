"""From the errors of botocore to ours."""

from __future__ import annotations

import re
from typing import Any, cast

from botocore import exceptions as aws  # pyright: ignore[reportMissingTypeStubs]
from botocore.parsers import ResponseParserError  # pyright: ignore[reportMissingTypeStubs]

from ...core.errors import BackendError, BackendUnavailable, ConfigError

FAILURES = (aws.BotoCoreError, aws.ClientError, ResponseParserError)
MISSING = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
DENIED = ("AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation")
THERE_ALREADY = ("QueueAlreadyExists", "QueueNameExists")
_STRANGERS = (
    *("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "IncompleteSignature"),
    *("ExpiredToken", "ExpiredTokenException", "InvalidSecurity", "MissingAuthenticationToken", "OptInRequired"),
)
_PASSING = (
    *("RequestThrottled", "ThrottlingException", "Throttling", "KmsThrottled", "InternalError", "InternalFailure"),
    *("ServiceUnavailable", "OverLimit", "AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently"),
    *MISSING,  # a queue that was deleted as soon as it was made
)
_IN_XML = re.compile(r"<Code>([\w.]+)</Code>")
_NO_KEYS = "give a role, AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_NO_REGION = "no region: write sqs://eu-west-1, or set AWS_REGION"


def code_of(error: Exception) -> str:
    """The service's own word for an error; empty where it did not come from there."""
    if not isinstance(error, aws.ClientError):
        return ""
    found: dict[str, Any] = cast("Any", error).response.get("Error", {})
    in_xml = _IN_XML.search(str(found.get("Message", "")))  # from a server that speaks half of the newer protocol
    return in_xml[1] if in_xml else str(found.get("Code", ""))


def in_our_words(error: Exception, location: str) -> Exception:
    """The error that is raised instead."""
    text = " ".join(str(error).split())[:400]
    if isinstance(error, aws.ClientError):
        return _refusal(error, location, text)
    match error:
        case aws.NoCredentialsError() | aws.PartialCredentialsError():
            return ConfigError(f"{location}: no AWS credentials ({text}): {_NO_KEYS}")
        case aws.NoRegionError():
            return ConfigError(f"{location}: {_NO_REGION}")
        case aws.SSLError() if "CERTIFICATE_VERIFY_FAILED" in text:  # others are of a line that was cut
            return ConfigError(f"{location}: {text}")
        case aws.ProxyConnectionError() | aws.ConnectionError() | aws.HTTPClientError():
            return BackendUnavailable(f"{location}: {text}")
        case aws.CredentialRetrievalError() | aws.MetadataRetrievalError():
            return BackendUnavailable(f"{location}: AWS credentials cannot be fetched: {text}")
        case ResponseParserError():
            return no_service(location, text)
        case _:
            return ConfigError(f"{location}: {text}")


def _refusal(error: Any, location: str, text: str) -> Exception:
    code = code_of(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in DENIED:
        return ConfigError(
            f"{location}: these credentials are refused: {lacking(error)}; `narrowboat acl sqs` prints what is "
            f"needed ({text})"
        )
    if code in _STRANGERS:
        return ConfigError(f"{location}: AWS refuses these credentials ({text})")
    if code in _PASSING or status >= 500 or "Throttl" in code:
        return BackendUnavailable(f"{location}: {text}")
    if not code or code.isdecimal() or status == 404 or code in ("InvalidAction", "UnknownOperationException"):
        return no_service(location, text)
    return BackendError(f"{location}: {text}")


def no_service(location: str, text: str) -> ConfigError:
    """For an answer that SQS would not give."""
    return ConfigError(f"{location}: what answers there does not speak as SQS does ({text}): is the endpoint right?")


def lacking(error: Any) -> str:
    """Which permission a refused operation takes: those of a batch are those of one."""
    return f"they lack the action sqs:{re.sub('Batch$', '', error.operation_name)}"
